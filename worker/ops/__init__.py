"""What an operator does by hand, over the ports; the commands render what comes back."""
