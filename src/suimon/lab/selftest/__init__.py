"""What the product measures of itself where it runs: `suimon selftest`."""
