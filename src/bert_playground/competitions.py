"""COMPETITIONS: facts only: telling columns, target, id, task, metric, sample file."""

from dataclasses import dataclass

from bert_playground.lookup import look_up

TEXT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Competition:
    """What is known of one public competition or data set before its table is opened.

    Attributes:
        slug: its name on Kaggle, or None where it is not a Kaggle competition.
        target: the column to predict, or several between commas.
        columns: some columns of its training table, enough to recognise it.
        task: a name in TASKS; None: inferred.
        metric: a name in METRICS, the nearest one to the official metric; None: that of the task.
        sample_file: the name of its sample submission.
        num_labels: how many classes; None for numbers.
        architecture: the encoder that suits it from random weights, a name in ENCODERS.
        pretrained: a checkpoint worth starting from, where free text decides.
        template: a name in TEMPLATES that its rows are written by, unless another is asked for.
    """

    slug: str | None
    target: str
    id_column: str | None
    task: str | None
    metric: str | None
    columns: frozenset[str]
    sample_file: str | None = "sample_submission.csv"
    num_labels: int | None = None
    architecture: str = "modernbert"
    pretrained: str | None = None
    template: str = "auto"


COMPETITIONS = {
    "titanic": Competition(
        slug="titanic",
        target="Survived",
        id_column="PassengerId",
        task="binary",
        metric="accuracy",
        columns=frozenset({"PassengerId", "Survived", "Pclass", "Name", "Ticket", "Cabin"}),
        sample_file="gender_submission.csv",
        num_labels=2,
    ),
    "house-prices": Competition(
        slug="house-prices-advanced-regression-techniques",
        target="SalePrice",
        id_column="Id",
        task="regression",
        metric="rmsle",
        columns=frozenset({"Id", "SalePrice", "MSSubClass", "LotArea", "Neighborhood"}),
    ),
    "nlp-disaster": Competition(
        slug="nlp-getting-started",
        target="target",
        id_column="id",
        task="binary",
        metric="f1",
        columns=frozenset({"id", "keyword", "location", "text", "target"}),
        num_labels=2,
        pretrained=TEXT_ENCODER,
    ),
    "obesity-s4e2": Competition(
        slug="playground-series-s4e2",
        target="NObeyesdad",
        id_column="id",
        task="multiclass",
        metric="accuracy",
        columns=frozenset({"id", "NObeyesdad", "FAVC", "MTRANS"}),
        num_labels=7,
    ),
    "bike-sharing": Competition(
        slug="bike-sharing-demand",
        target="count",
        id_column="datetime",
        task="regression",
        metric="rmsle",
        columns=frozenset({"datetime", "count", "casual", "registered", "windspeed"}),
        sample_file="sampleSubmission.csv",
    ),
    "wine-s3e5": Competition(
        slug="playground-series-s3e5",
        target="quality",
        id_column="Id",
        task="ordinal",
        metric="quadratic_kappa",
        columns=frozenset({"Id", "quality", "fixed acidity", "sulphates"}),
        num_labels=6,
    ),
    "steel-s4e3": Competition(
        slug="playground-series-s4e3",
        target="Pastry,Z_Scratch,K_Scatch,Stains,Dirtiness,Bumps,Other_Faults",
        id_column="id",
        task="multilabel",
        metric="roc_auc",
        columns=frozenset({"Pastry", "K_Scatch", "Dirtiness", "Steel_Plate_Thickness"}),
        num_labels=7,
    ),
    "adult": Competition(
        slug=None,
        target="income",
        id_column="id",
        task="binary",
        metric="accuracy",
        columns=frozenset({"income", "fnlwgt", "education-num", "capital-gain"}),
        num_labels=2,
    ),
    "book-price": Competition(
        slug=None,
        target="Price",
        id_column="id",
        task="regression",
        metric="log10_score",
        columns=frozenset({"Title", "Author", "Synopsis", "BookCategory", "Price"}),
        pretrained=TEXT_ENCODER,
    ),
    "skin-stream": Competition(
        slug=None,
        target="target",
        id_column="id",
        task="binary",
        metric="roc_auc",
        columns=frozenset({"id", "B", "G", "R", "target"}),
        sample_file=None,
        num_labels=2,
    ),
}


def find_competition(name: str) -> Competition:
    """The facts of a competition, by its name here or its slug on Kaggle.

    Raises:
        ValueError: unknown; the message has the nearest name.
    """
    slugs = {facts.slug: facts for facts in COMPETITIONS.values() if facts.slug is not None}
    return look_up(slugs | COMPETITIONS, name, "competition")
