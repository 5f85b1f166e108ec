"""A notebook as a function: read its parameter cell, check values, fill in, plan, execute."""
