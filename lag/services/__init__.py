from lag.services.brokers import sample_brokers
from lag.services.groups import as_data, read_lag, sample_groups
from lag.services.pruning import prune_samples

__all__ = ["as_data", "prune_samples", "read_lag", "sample_brokers", "sample_groups"]
