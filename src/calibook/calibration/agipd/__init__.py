"""AGIPD's part of the procedures: darks, flat field, pulsed capacitor, correction, and their summaries."""
