"""Studies: many runs of strategies, as tables and pictures in docs/results.

    python -m trainer.studies new-class digits --bases FOLDER --work FOLDER
    python -m trainer.studies rounding digits --bases FOLDER --work FOLDER
    python -m trainer.studies bits digits --bases FOLDER --work FOLDER

A folder of bases holds a folder a class, named by its number, with the network.yaml and
checkpoint.pth.tar of a network that has never seen that class (``max78k pretrain --held-out-class
all --out FOLDER``), and ``joint``, one that has seen them all (``none``).  ``scratch`` holds a
folder a class of networks that have seen a few examples of it (``--held-out-examples 100``), and
``bits-4``, ``bits-2``, ``bits-1`` those with narrower weights (``--qat-policy``).
"""
