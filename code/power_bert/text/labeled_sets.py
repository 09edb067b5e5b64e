"""Labeled data sets besides GLUE, as rows of the task table; the published ones have test labels, unlike GLUE.

emotion: Saravia et al., CARER, EMNLP 2018. massive: FitzGerald et al., MASSIVE, ACL 2023 (arXiv 2204.08582), the
intents of its American English part. 20newsgroups: Ken Lang's collection in Jason Rennie's split by date.
"""

from power_bert.text.task import ColumnLayout, Split, Task, TaskDefaults

EMOTION = "emotion"
MASSIVE = "massive"
NEWSGROUPS = "20newsgroups"
# Data set that this project generates (`write_sample`): in CoLA's layout, but not CoLA.
SAMPLE = "acceptability-sample"
_EMOTIONS = ("sadness", "joy", "love", "anger", "fear", "surprise")
_GROUPS = (
    "alt.atheism comp.graphics comp.os.ms-windows.misc comp.sys.ibm.pc.hardware comp.sys.mac.hardware comp.windows.x "
    "misc.forsale rec.autos rec.motorcycles rec.sport.baseball rec.sport.hockey sci.crypt sci.electronics sci.med "
    "sci.space soc.religion.christian talk.politics.guns talk.politics.mideast talk.politics.misc talk.religion.misc"
)
_INTENTS = (
    "datetime_query iot_hue_lightchange transport_ticket takeaway_query qa_stock general_greet recommendation_events "
    "music_dislikeness iot_wemo_off cooking_recipe qa_currency transport_traffic general_quirky weather_query "
    "audio_volume_up email_addcontact takeaway_order email_querycontact iot_hue_lightup recommendation_locations "
    "play_audiobook lists_createoradd news_query alarm_query iot_wemo_on general_joke qa_definition social_query "
    "music_settings audio_volume_other calendar_remove iot_hue_lightdim calendar_query email_sendemail iot_cleaning "
    "audio_volume_down play_radio cooking_query datetime_convert qa_maths iot_hue_lightoff iot_hue_lighton "
    "transport_query music_likeness email_query play_music audio_volume_mute social_post alarm_set qa_factoid "
    "calendar_set play_game alarm_remove lists_remove transport_taxi recommendation_movies iot_coffee music_query "
    "play_podcasts lists_query"
)
_METRICS = ("accuracy", "macro_f1")


def _rows(train: int, dev: int, test: int) -> dict[Split, int]:
    return {"train": train, "dev": dev, "test": test}


def _test_layout(text: str, label: str) -> ColumnLayout:
    """Return a test layout with optional labels, so that unlabeled files can be predicted too."""
    return ColumnLayout((text,), label, label_is_optional=True)


def _defaults(max_length: int, batch_size: int = 32) -> TaskDefaults:
    # No paper has settings for these sets. These are the settings of a custom task, with a learning rate for small
    # encoders.
    return TaskDefaults(
        max_length=max_length,
        lr_bert=1e-4,
        lr_soft_extract=3e-3,
        regularization=1e-3,
        batch_size=batch_size,
    )


_TASK_ROWS = (
    Task(
        name=EMOTION,
        folder=EMOTION,
        family=EMOTION,
        labels=_EMOTIONS,
        metrics=_METRICS,
        train_layout=ColumnLayout(("text",), "label"),
        test_layout=_test_layout("text", "label"),
        # The authors' text files, or the JSON lines of data set hubs.
        files={"train": ("train",), "dev": ("val", "validation", "dev"), "test": ("test",)},
        endings=(".txt", ".jsonl"),
        rows=_rows(16000, 2000, 2000),
        prediction_file="emotion.tsv",
        defaults=_defaults(max_length=64),
    ),
    Task(
        name=MASSIVE,
        folder="massive_en-US",
        family=MASSIVE,
        labels=tuple(_INTENTS.split()),
        metrics=_METRICS,
        train_layout=ColumnLayout(("text",), "label_text"),
        test_layout=_test_layout("text", "label_text"),
        files={"train": ("train",), "dev": ("validation", "dev"), "test": ("test",)},
        endings=(".jsonl",),
        rows=_rows(11514, 2033, 2974),
        prediction_file="massive.tsv",
        defaults=_defaults(max_length=32),
    ),
    Task(
        name=NEWSGROUPS,
        folder=NEWSGROUPS,
        family=NEWSGROUPS,
        labels=tuple(_GROUPS.split()),
        metrics=_METRICS,
        train_layout=ColumnLayout(("text",), "label"),
        test_layout=_test_layout("text", "label"),
        endings=(".jsonl",),
        # The archive has no dev set, so every tenth training document of each group is held out.
        rows=_rows(10191, 1123, 7532),
        prediction_file="20newsgroups.tsv",
        defaults=_defaults(max_length=256, batch_size=16),
    ),
    Task(
        name=SAMPLE,
        folder="acceptability",
        family=SAMPLE,
        labels=("0", "1"),
        names=("unacceptable", "acceptable"),
        metrics=("matthews",),
        train_layout=ColumnLayout((3,), 1, num_columns=4),
        test_layout=ColumnLayout(("sentence",), index_column="index"),
        prediction_file="acceptability-sample.tsv",
        # The settings of CoLA, with higher learning rates because the sample has less than half of its sentences.
        defaults=TaskDefaults(
            max_length=64,
            lr_bert=1e-4,
            lr_soft_extract=3e-3,
            regularization=7e-3,
            batch_size=32,
        ),
    ),
)

LABELED_TASKS: dict[str, Task] = {task.name: task for task in _TASK_ROWS}
