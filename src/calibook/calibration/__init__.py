"""The few calls that a notebook makes: plan, characterise, correct, summarise.

`planning` makes the plan, `summaries` what the report shows. What lies here itself does the tasks of every
detector; a detector that needs steps of its own has a folder.
"""
