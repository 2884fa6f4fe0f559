"""Competition, DataFile, Submission, Limits, LeaderboardRow: what Kaggle answers, as plain values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

RULES = "https://www.kaggle.com/competitions/{}/rules"


@dataclass(frozen=True)
class Competition:
    """One competition; None: Kaggle does not say."""

    slug: str
    title: str | None
    metric: str | None
    deadline: str | None
    category: str | None
    reward: str | None
    teams: int
    daily_submissions: int
    entered: bool
    rank: int | None
    is_code: bool

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Of the package's object."""
        return cls(
            slug=str(answer.ref).rstrip("/").rpartition("/")[2],
            title=answer.title or None,
            metric=answer.evaluation_metric or None,
            deadline=_moment(answer.deadline),
            category=answer.category or None,
            reward=answer.reward or None,
            teams=int(answer.team_count or 0),
            daily_submissions=int(answer.max_daily_submissions or 0),
            entered=bool(answer.user_has_entered),
            rank=answer.user_rank or None,
            is_code=bool(answer.is_kernels_submissions_only),
        )


@dataclass(frozen=True)
class DataFile:
    """A file of a competition: its name there, with folders, and its size in bytes."""

    name: str
    num_bytes: int
    created: str | None

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Of the package's object."""
        return cls(str(answer.name), int(answer.total_bytes or 0), _moment(answer.creation_date))


@dataclass(frozen=True)
class Submission:
    """A file that was sent; scores are None until they are known."""

    ref: int
    file_name: str
    date: str | None
    status: str
    message: str
    num_bytes: int | None
    public_score: float | None
    private_score: float | None
    fault: str | None

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Of the package's object."""
        return cls(
            ref=int(answer.ref or 0),
            file_name=answer.file_name or "",
            date=_moment(answer.date),
            status=answer.status.name.lower(),
            message=answer.description or "",
            num_bytes=answer.total_bytes or None,
            public_score=as_score(answer.public_score),
            private_score=as_score(answer.private_score),
            fault=answer.error_description or None,
        )


@dataclass(frozen=True)
class Limits:
    """How many files the team sent and may still send today, which ends at midnight UTC."""

    today: int
    in_all: int
    left_today: int
    ends_for_good: bool

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Of the package's object."""
        return cls(
            int(answer.num_today or 0),
            int(answer.num_total or 0),
            int(answer.num_allowed_now or 0),
            bool(answer.limited_by_total),
        )

    def describe(self) -> str:
        """One sentence."""
        left = f"{self.left_today} of today's submissions left ({self.today} sent today, {self.in_all} in all)"
        return f"{left}; what is left is the last for good" if self.ends_for_good else left


@dataclass(frozen=True)
class LeaderboardRow:
    """A team of the public leaderboard."""

    rank: int
    team: str
    score: float | None
    date: str | None

    @classmethod
    def of(cls, rank: int, answer: Any) -> Self:
        """Of the package's object."""
        return cls(
            rank, answer.team_name or "", as_score(answer.score), _moment(answer.submission_date)
        )


def as_score(text: str | None) -> float | None:
    """Kaggle writes scores as text; empty, or None where there is none."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _moment(value: datetime | None) -> str | None:
    return None if value is None else f"{value:%Y-%m-%d %H:%M}"
