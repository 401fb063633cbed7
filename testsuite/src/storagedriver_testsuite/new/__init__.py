"""`storagedriver new`: writes a driver package that works, to be changed."""

# General layout:
#
#   command                 the command
#   writing                 the example under another name
#   storagedriver-sqlite/   a whole driver package, the example of the documentation
