"""The checks of the validator: one small pure function in each module, asked in order."""
