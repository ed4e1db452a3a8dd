"""check: would the official checkers accept a submission package?"""
