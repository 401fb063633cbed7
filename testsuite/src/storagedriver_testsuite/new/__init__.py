"""`storagedriver new`: writes a driver package that works, to be changed."""

# General layout. A module imports only from those above it:
#
#   writing                 the example under another name
#   command                 the command
#
# The folder `storagedriver-sqlite` is the example: a whole driver package, as in the documentation.
