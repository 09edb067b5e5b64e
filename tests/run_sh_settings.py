"""Variables of the settings block of run.sh, in its order."""

MAIN_SETTINGS = (
    *(
        "TASK",
        "DATA_DIR",
        "CHECKPOINT_PATH",
        "VOCAB_PATH",
        "BERT_CONFIG_PATH",
        "OUTPUT_DIR",
        "EFFORT",
        "EPOCH",
        "BATCH_SIZE",
    ),
    *(
        "LR_SOFT_EXTRACT",
        "LR_BERT",
        "LAMBDA",
        "SPEEDUP",
        "SPEEDUP_BY",
        "MAX_LOSS",
        "WIDTH",
        "SELF_DISTILL",
        "QUANTIZATION_AWARE",
        "AUGMENT_COPIES",
    ),
)
FURTHER_SETTINGS = (
    *(
        "MAX_LENGTH",
        "SEED",
        "TRAIN_EXAMPLES",
        "CASED",
        "SIMILARITY",
        "GATE",
        "RETENTION_UNIT",
        "RETENTION_PROFILE",
        "RETENTION_JITTER",
        "FUSE",
        *("TEXT_COLUMNS", "LABEL_COLUMN", "LABELS", "METRIC"),
        "SEARCH_EPOCH",
        "WARMUP",
    ),
    *("WEIGHT_DECAY", "DROPOUT", "RETENTION_CONFIG", "BASELINE", "PRED_GLUE", "EVAL_ONLY", "PREDICT_ONLY"),
    *("BACKEND", "THREADS", "RESUME"),
)
# Those that `run` reads itself; the others prepare the process before any import.
RUN_SETTINGS = tuple(name for name in MAIN_SETTINGS + FURTHER_SETTINGS if name not in ("BACKEND", "THREADS"))
