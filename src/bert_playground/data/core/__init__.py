"""Reading tables and knowing what is in them."""
