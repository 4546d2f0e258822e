"""Statistics: uncertainty of means, differences and ranks of methods, with few domains and few seeds."""
