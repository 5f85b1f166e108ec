"""Requests and their tasks: planned, run, resumed, recorded, made again."""
