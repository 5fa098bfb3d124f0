"""Numbers -> findings -> advice on what to do next."""
