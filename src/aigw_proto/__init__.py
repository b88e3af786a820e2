"""Sans-IO core of the aigw AI gateway: machines, engines and the conductor that drives them."""
