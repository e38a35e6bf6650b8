# Installed, this file is empty (rosidl writes it). Here it lets a Python started in the source
# tree find the generated msg and srv modules of the installed package beside these sources.
__path__ = __import__("pkgutil").extend_path(__path__, __name__)
