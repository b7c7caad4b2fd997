"""
The alternatives that gcore-etl is measured against, each a complete program as a user would write it.

Each takes the URLs of the API and of a database, and updates the table `tasks` there. They share no code.
"""
