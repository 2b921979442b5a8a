"""Official weights: their addresses, the cache that holds them, and the digests that they are held to.

``sources`` reads the addresses of ``paper.yaml``; ``download`` (with ``part``) and ``hub`` bring a file here;
``content`` checks whether it can be weights; ``lock`` remembers its SHA-256 in the repository; ``fetch`` puts these
together. ``choice``, ``batch``, ``listing`` and ``check`` serve the commands, ``run`` serves ``bench run``.
"""
