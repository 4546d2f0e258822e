"""From pictures as their owners hand them out to a prepared data set: descriptions, layouts, pools, archives."""
