"""The page and the service: what the verbs do, for people without a command line.

`actions.py` says what can be done and is written once over the verbs' functions; a model that is
registered appears there by what it is. `app.py` makes a web service of it, `page/` is its one page.
"""
