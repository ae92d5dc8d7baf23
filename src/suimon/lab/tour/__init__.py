"""The tour: eleven steps that show on a lab what Suimon does, check it, and measure it.

In: a lab that is up. Out: a narration, and whether every step held. A step is a function of a `Guide`; it may use what
earlier steps made, and the last deletes it all. `tour.STEPS` is the whole list.
"""
