"""What facility and user choose, and how jobs' times, memory and names are read."""

import pytest

from calibook.errors import BadParameter
from calibook.jobs import settings
from calibook.jobs.amounts import megabytes, minutes, scheduler_name
from calibook.jobs.settings import SlurmSettings, load_settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 2),
        ("30m", 30),
        ("2h", 120),
        ("1.5h", 90),
        ("1d", 1440),
        ("45", 45),
        ("45:30", 46),
        ("2:30:00", 150),
        ("1-12", 2160),
        ("1-12:30", 2190),
        ("1-00:00:01", 1441),
        (" 10m ", 10),
    ],
)
def test_minutes(text, expected):
    assert minutes(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "0m", "-5", "2 hours", "1;id", "1:2:3:4", "nan", "9999999d", "1h30m"]
)
def test_no_minutes(text):
    with pytest.raises(BadParameter, match="no time for a job"):
        minutes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500M", 500), ("16G", 16384), ("1.5g", 1536), ("1T", 1048576), ("700", 700), ("2GB", 2048)],
)
def test_megabytes(text, expected):
    assert megabytes(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "16 GiB", "$(id)", "1e3", "10K", "99999999T"])
def test_no_megabytes(text):
    with pytest.raises(BadParameter, match="no memory for a job"):
        megabytes(text)


def test_names():
    assert scheduler_name("upex-beamtime") == "upex-beamtime"
    for text in ("", "-x", "a b", "a;b", "$(id)", "a\nb", "ä"):
        with pytest.raises(BadParameter, match="no name"):
            scheduler_name(text)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Paths of the facility's and the user's file."""
    monkeypatch.delenv("CALIBOOK_SETTINGS", raising=False)
    site, user = tmp_path / "site", tmp_path / "user"
    site.mkdir(), user.mkdir()
    monkeypatch.setattr(settings, "site_config_path", lambda name: site)
    monkeypatch.setattr(settings, "user_config_path", lambda name: user)
    return site / "settings.toml", user / "settings.toml"


def test_without_files_all_is_as_documented(files):
    assert (load_settings().executor, load_settings().slurm) == ("local", SlurmSettings())


def test_the_user_has_the_last_word_on_what_the_facility_says(files):
    site, user = files
    site.write_text(
        'executor = "slurm"\n[slurm]\npartition = "all"\nmemory = "8G"\nsetup = ["module load x"]\n'
    )
    user.write_text('[slurm]\npartition = "mine"\nmost_time = "1d"\nretries = 0\n')
    found = load_settings()
    assert found.executor == "slurm"
    expected = SlurmSettings(
        partition="mine", memory_mb=8192, setup=("module load x",), most_minutes=1440, retries=0
    )
    assert found.slurm == expected
    assert found.slurm.with_given({"partition": "last", "account": None}).partition == "last"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("executer = 'slurm'", "executer is not a setting; did you mean executor"),
        ("executor = 'cloud'", "it can be local or slurm"),
        ("[slurm]\npartitions = 'a'", "partitions is not a setting; did you mean partition"),
        ("[slurm]\npartition = 'a b'", "slurm.partition: 'a b' is no name"),
        ("[slurm]\npartition = 3", "slurm.partition: 3 is not a text"),
        ("[slurm]\nmax_jobs = true", "slurm.max_jobs: True is not a whole number"),
        ("[slurm]\nfiles_per_job = 0", "slurm.files_per_job: 0 is not a whole number from 1"),
        ("[slurm]\ntime = 'soon'", "slurm.time: 'soon' is no time"),
        ("[slurm]\nsetup = 'module'", "slurm.setup: 'module' is not a list of texts"),
        ("[slurm]\ntemplate = 'own.jinja'", "slurm.template: 'own.jinja' is not an absolute path"),
        ("slurm = 3", "slurm is not a section"),
        ("executor = ", "can't be read as settings"),
    ],
)
def test_what_is_wrong_is_told_with_its_file(files, text, words):
    files[1].write_text(text)
    with pytest.raises(BadParameter) as error:
        load_settings()
    assert words in str(error.value)
    assert str(files[1]) in str(error.value)


def test_a_file_named_by_the_environment_must_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("CALIBOOK_SETTINGS", str(tmp_path / "none.toml"))
    with pytest.raises(BadParameter, match="there is no file"):
        load_settings()
