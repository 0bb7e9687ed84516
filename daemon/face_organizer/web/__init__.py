"""HTTP <-> calls: what the page and other programs talk to.

Room:    web (talks)
Imports: nothing

Needs the extra [web] (FastAPI, uvicorn, prometheus-client, python-multipart); nothing here is imported while it is off.
"""
