"""The web console: one page on which a person watches the tracker and selects its targets.

`bridge` is the ROS node, `scenes` joins what it hears of one image, `hub` hands the newest scene to
those who watch, `server` is the web server, `guard` keeps strangers out, `protocol` reads what
browsers send. Nothing here imports torch.
"""
