"""The parts every tracker's network is put together from."""
