"""The routes of the Allen API that clients use, as functions from request values to reply values.

`routes.reply_to` answers a request from any `AllenSource`: a store, or the synthetic atlas. Nothing here needs a web
framework, so that the synthetic server works without the extra ``server``.
"""
