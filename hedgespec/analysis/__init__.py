"""Turns result tables into printed tables and figures; reads nothing but results."""
