"""From images as their owners publish them to a prepared data set: descriptions, layouts, pools, archives."""
