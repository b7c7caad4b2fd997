"""
What is measured against: each a whole program, as somebody would write it who picks that way.

Each takes the address of the API and the URL of a database, brings the table `tasks` there up to date, and
knows nothing of the others.
"""
