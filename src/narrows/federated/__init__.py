"""Federated rounds with Flower: devices improve a bundle on photographs that stay with them.

`app/` is what `flwr run` takes; `server_app` and `client_app` are its two halves. A `recipe` says
what learns and how (`network`, `learning`), `partition` who holds which photographs where one set
is dealt out, `publish` what the rounds end in: a new bundle. `compression` makes updates small,
`secure` hides each in their sum.
"""
