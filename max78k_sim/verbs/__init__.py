"""What the command line does, a verb a file; imported when the verb is used.

This layer stands above everything else: it alone brings simulator, trainer and firmware together.
"""
