"""What guests may ask their host: instance data by HTTP and names by DNS, at 169.254.169.254.

In come packets that br-int let through (pipeline.services), one source address for each address of each port; out go
answers made from the view, from Nova's metadata service or from the host's resolvers. `Services` runs it all; nothing
that a guest sends ends it, and nobody gets more than its share of connections and questions.
"""
