"""What files of the reference find when they import from `models`: its names, which lead to our parts."""
