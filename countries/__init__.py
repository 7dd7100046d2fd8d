"""Keep the countries, under the operator's own ids.

A CSV file goes in, through the command `load_countries` or the import page; names and continents for reports and pages
come out. It may import `salesengine` but no other app; start in `loading.py`.
"""
