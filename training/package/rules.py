"""What MLPerf's checkers for training 5.0.0, the last round with BERT, want of a package, as data.

Sources: mlperf_logging 4.1.68, compliance_checker/training_5.0.0, package_checker, system_desc_checker.
"""

from __future__ import annotations

RULESET = "5.0.0"
BENCHMARK = "bert"
RUNS = 10
MAY_MISS = 1  # runs that may end without the target: the best and the worst of the ten do not count
MOST_INIT_MINUTES = {"closed": 30, "open": 240}

_ONCE = (
    *("submission_division", "submission_benchmark", "init_stop", "run_start", "run_stop"),
    *("train_samples", "eval_samples", "seed"),
)
_ONCE_CLOSED = (
    *("global_batch_size", "gradient_accumulation_steps", "opt_base_learning_rate", "opt_lamb_epsilon"),
    *("opt_learning_rate_training_steps", "opt_learning_rate_warmup_steps", "num_warmup_steps", "start_warmup_step"),
    *("opt_lamb_beta_1", "opt_lamb_beta_2", "opt_lamb_weight_decay_rate"),
)
# Keys of a log: exactly once, and at least once.
ONCE = {"open": _ONCE, "closed": (*_ONCE, *_ONCE_CLOSED)}
SOME = ("cache_clear", "init_start", "block_start", "block_stop", "eval_accuracy")
ORDER = ("init_start", "init_stop", "run_start", "block_start", "run_stop")  # of their first lines

# In the TOML file, as for inference → in a system description of training.
STATUSES = {
    "available": "Available on-premise",
    "cloud": "Available cloud",
    "preview": "Preview",
    "rdi": "Research, Development, or Internal (RDI)",
}
SYSTEM_KEYS = (
    *("submitter", "division", "status", "system_name", "number_of_nodes"),
    *("host_processors_per_node", "host_processor_model_name", "host_processor_core_count"),
    *("host_processor_vcpu_count", "host_processor_frequency", "host_processor_caches"),
    *("host_processor_interconnect", "host_memory_capacity", "host_storage_type", "host_storage_capacity"),
    *("host_networking", "host_networking_topology", "host_memory_configuration"),
    *("accelerators_per_node", "accelerator_model_name", "accelerator_host_interconnect", "accelerator_frequency"),
    *("accelerator_on-chip_memories", "accelerator_memory_configuration", "accelerator_memory_capacity"),
    *("accelerator_interconnect", "accelerator_interconnect_topology"),
    *("cooling", "hw_notes", "framework", "other_software_stack", "operating_system", "sw_notes"),
)
SYSTEM_KEYS_MAY_BE_EMPTY = (
    *("host_processor_frequency", "host_processor_caches", "host_processor_interconnect"),
    *("accelerator_frequency", "accelerator_on-chip_memories", "accelerator_interconnect_topology"),
    *("hw_notes", "sw_notes"),
)
# Of a system description for inference alone: a TOML file may serve both.
OF_INFERENCE = ("system_type", "system_type_detail", "host_network_card_count")
