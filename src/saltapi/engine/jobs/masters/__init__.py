"""
Other masters' doors, where jobs are known that this master has not published.

What is here decides nothing about who may do what: that is decided at the master of the job.
"""
