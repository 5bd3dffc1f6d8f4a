"""The guards of tests/conftest.py, each shown to fire, on a small suite of its own."""

from pathlib import Path

import jaxtyping
import pytest

from connectome_sim import circular

pytest_plugins = ["pytester"]

MARKS = "[pytest]\nmarkers =\n    slow\n    gpu\n    real_data\n    browser\naddopts = --strict-markers\n"
READS_DATA = """
    import pytest

    @pytest.mark.real_data
    def test_reads(hemibrain_dir):
        assert (hemibrain_dir / "traced-neurons.csv").exists()
"""
UNMARKED = "def test_reads(hemibrain_dir): pass"


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    pytester.makeconftest(Path(__file__).parents[1].joinpath("conftest.py").read_text())
    pytester.makefile(".ini", pytest=MARKS)
    monkeypatch.delenv("CONNECTOME_SIM_DATA", raising=False)
    monkeypatch.delenv("CONNECTOME_SIM_REQUIRE_DATA", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a faster start
    return pytester


def test_real_data_is_skipped_where_it_is_absent(suite: pytest.Pytester) -> None:
    suite.makepyfile(READS_DATA)
    suite.runpytest_subprocess().assert_outcomes(skipped=1)


def test_a_skip_is_a_failure_where_the_data_is_promised(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makepyfile(READS_DATA)
    monkeypatch.setenv("CONNECTOME_SIM_REQUIRE_DATA", "1")
    result = suite.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*real_data test skipped although*CONNECTOME_SIM_DATA is not set*"])


def test_a_browser_that_is_promised_and_not_there_is_a_failure(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    suite.makepyfile("""
        import pytest

        @pytest.mark.browser
        def test_opens(chromium):
            assert chromium
    """)
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing is on it
    monkeypatch.delenv("CONNECTOME_SIM_BROWSER", raising=False)
    monkeypatch.delenv("CONNECTOME_SIM_REQUIRE_BROWSER", raising=False)
    suite.runpytest_subprocess().assert_outcomes(skipped=1)
    monkeypatch.setenv("CONNECTOME_SIM_REQUIRE_BROWSER", "1")
    result = suite.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*browser test skipped although*no browser: CONNECTOME_SIM_BROWSER is not set*"])


def test_real_data_is_found_in_the_folder_the_environment_names(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "hemibrain_v1.2").mkdir()
    (tmp_path / "hemibrain_v1.2" / "traced-neurons.csv").touch()
    suite.makepyfile(READS_DATA)
    monkeypatch.setenv("CONNECTOME_SIM_DATA", str(tmp_path))
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_test_on_real_data_without_the_mark_is_refused(suite: pytest.Pytester) -> None:
    suite.makepyfile(UNMARKED)
    result = suite.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*need the mark real_data*"])


def test_a_wrong_type_is_caught_at_the_call() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        circular.evenly_spaced("eight")
