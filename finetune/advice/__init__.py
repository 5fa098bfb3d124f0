"""Numbers -> findings -> what to do next."""
