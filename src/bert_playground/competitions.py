"""COMPETITIONS: facts only: telling columns, target, id, task, metric, sample file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Competition:
    """What is known of one public competition or data set before its table is opened.

    Attributes:
        slug: its name on Kaggle, or None where it is not a Kaggle competition.
        columns: some columns of its training table, enough to recognise it.
        metric: a name in METRICS, the nearest one to the official metric.
        sample_file: the name of its sample submission.
    """

    slug: str | None
    target: str
    id_column: str | None
    task: str
    metric: str
    columns: frozenset[str]
    sample_file: str | None = "sample_submission.csv"


COMPETITIONS = {
    "titanic": Competition(
        slug="titanic",
        target="Survived",
        id_column="PassengerId",
        task="binary",
        metric="accuracy",
        columns=frozenset({"PassengerId", "Survived", "Pclass", "Name", "Ticket", "Cabin"}),
        sample_file="gender_submission.csv",
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
    ),
    "obesity-s4e2": Competition(
        slug="playground-series-s4e2",
        target="NObeyesdad",
        id_column="id",
        task="multiclass",
        metric="accuracy",
        columns=frozenset({"id", "NObeyesdad", "FAVC", "MTRANS"}),
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
        task="multiclass",
        metric="accuracy",
        columns=frozenset({"Id", "quality", "fixed acidity", "sulphates"}),
    ),
    "adult": Competition(
        slug=None,
        target="income",
        id_column="id",
        task="binary",
        metric="accuracy",
        columns=frozenset({"income", "fnlwgt", "education-num", "capital-gain"}),
    ),
    "book-price": Competition(
        slug=None,
        target="Price",
        id_column="id",
        task="regression",
        metric="rmsle",
        columns=frozenset({"Title", "Author", "Synopsis", "BookCategory", "Price"}),
    ),
}
