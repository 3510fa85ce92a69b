"""The gate detector in the NanoDet-Plus design: network, training, export, figures."""
