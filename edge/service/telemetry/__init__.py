"""Power, temperature and clocks of the device, and what a part costs in energy."""
