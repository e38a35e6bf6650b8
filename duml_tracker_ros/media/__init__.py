"""Pictures, folders of them, videos and cameras: one reader for all.

`picture` decodes, `levels` makes 8 bits of more, `folder` says which files are frames and in which
order, `opening` opens what a user names. The rule for all: a picture stands as its file says (EXIF,
a video's rotation), as viewers show it; boxes count its pixels.
"""
