"""What tasks leave for the summary of their run, and the tables, pictures and figures made of it."""
