"""What the command line does, a verb a file; imported when the verb is used.

This layer stands above everything else: it alone brings simulator, trainer and firmware together.
"""

EXIT_DIFFERENT = 1  # a comparison found a difference
EXIT_USER_ERROR = 2  # what was asked for is wrong
