"""A trace's arithmetic, by a virtual clock: exact, additive, and a constant link's if constant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.simulations.links.link import open_link
from narrows.simulations.links.pipe import Pipe
from narrows.simulations.links.profile import draw, load_profile, profile_names
from narrows.simulations.links.readers import parse_csv, parse_mahimahi, read_trace
from narrows.simulations.links.spec import LinkSpec
from narrows.simulations.links.trace import Trace

MS = 1_000_000
SEGMENTS = st.lists(
    st.tuples(
        st.integers(3 * MS, 50 * MS),
        st.sampled_from([0, 0, 9_600, 37_500, 10**6, 333_333_333]),
        st.integers(0, 100 * MS),
    ),
    min_size=1,
    max_size=12,
).filter(lambda rows: any(row[1] for row in rows))
SIZES = st.integers(1, 20_000)
INSTANTS = st.integers(0, 10**11)


def trace_of(rows):
    return Trace(*zip(*rows, strict=True))


def carried(rows, start_ns, end_ns):
    """Bits (times 1e9) that pass between two instants, counted segment by segment."""
    total, at = 0, 0
    period = sum(row[0] for row in rows)
    at = start_ns // period * period
    while at < end_ns:
        for duration, rate, _ in rows:
            overlap = min(end_ns, at + duration) - max(start_ns, at)
            total += max(0, overlap) * rate
            at += duration
    return total


@given(rows=SEGMENTS, size=st.integers(1, 300), start=st.integers(0, 10**8))
def test_bytes_have_left_at_the_first_instant_that_has_carried_them(rows, size, start):
    end = trace_of(rows).finished_ns(size, start)
    assert carried(rows, start, end) >= size * 8 * 10**9 > carried(rows, start, end - 1)


@given(rows=SEGMENTS, sizes=st.lists(SIZES, min_size=1, max_size=20), start=INSTANTS)
def test_bytes_sent_in_pieces_leave_when_they_would_in_one(rows, sizes, start):
    trace, at = trace_of(rows), start
    for size in sizes:
        at = trace.finished_ns(size, at)
    whole = trace.finished_ns(sum(sizes), start)
    assert whole <= at  # each piece rounds up to a whole ns, after which a silence may begin
    if all(row[1] for row in rows):
        assert at <= whole + len(sizes)


@given(rows=SEGMENTS, size=SIZES, starts=st.tuples(INSTANTS, INSTANTS))
def test_who_starts_later_ends_no_earlier(rows, size, starts):
    early, late = (trace_of(rows).finished_ns(size, start) for start in sorted(starts))
    assert early <= late


@given(
    rows=SEGMENTS, sends=st.lists(st.tuples(st.integers(0, 10**8), SIZES), min_size=1, max_size=40)
)
def test_nothing_overtakes_and_nothing_is_early(rows, sends):
    trace = trace_of(rows)
    pipe, now, arrived = Pipe(trace), 0, 0
    for gap, size in sends:
        now += gap
        arrival = pipe.reserve(size, now)
        assert arrival >= max(arrived, trace.finished_ns(size, now))
        arrived = arrival


@given(size=SIZES, start=INSTANTS, rate=st.sampled_from(["64kbit,5ms", "2mbit,20ms", "1gbit"]))
def test_a_trace_that_never_changes_is_a_constant_link(size, start, rate):
    spec = LinkSpec.parse(rate)
    trace = Trace([7 * MS, 3 * MS], [int(spec.rate_bits)] * 2, [spec.delay_ns] * 2)
    assert trace.finished_ns(size, start) == spec.finished_ns(size, start)
    assert trace.delay_at(start) == spec.delay_at(start)


def test_an_outage_holds_what_comes_in_it_to_its_end():
    trace = Trace([10 * MS, 90 * MS], [8_000_000, 0], [0, 0])  # 10 ms at a byte a microsecond
    assert trace.finished_ns(1000, 5 * MS) == 6 * MS
    assert trace.finished_ns(1000, 50 * MS) == 101 * MS
    assert trace.finished_ns(20_000, 0) == 110 * MS
    assert trace.silent_share == 0.9
    assert trace.mean_bits == 800_000


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_draws_the_same_trace_from_the_same_seed_and_keeps_its_medians(name):
    profile = load_profile(name)
    (up, down), (again, _), (other, _) = (draw(profile, 120, seed) for seed in (3, 3, 4))
    instants = range(0, 120_000 * MS, 20 * MS)
    rates = sorted(rate for at in instants if (rate := up.rate_at(at)))
    assert [up.rate_at(t) for t in instants] == [again.rate_at(t) for t in instants]
    assert [up.delay_at(t) for t in instants] != [other.delay_at(t) for t in instants]
    median = rates[len(rates) // 2] / 1000
    assert profile.up.rate_kbit / 2 < median < profile.up.rate_kbit * 2
    assert up.silent_share == down.silent_share
    assert profile.source


def test_six_profiles_are_shipped():
    assert set(profile_names()) == {"lora", "lte", "5g", "wifi", "bluetooth", "satellite"}


def test_mahimahi_s_packet_times_are_packets_of_a_millisecond():
    trace = parse_mahimahi(["1", "1", "", "3", "10"], "x", delay_ms=4)
    assert trace.period_ns == 10 * MS
    assert trace.mean_bits == 4 * 12_000 / 0.01
    assert [trace.finished_ns(1500 * n, 0) for n in (1, 2, 3, 4)] == [
        MS // 2, MS, 3 * MS, 10 * MS,
    ]  # fmt: skip
    assert trace.finished_ns(1500, 10 * MS) == 10 * MS + MS // 2
    assert trace.delay_at(0) == 4 * MS


def test_csv_rows_hold_until_the_next():
    lines = ["seconds,kbit/s,ms,outage", "0,1000,20,0", "1.5,1000,20,1", "2,250,80"]
    trace = parse_csv(lines, "x")
    assert [trace.rate_at(round(s * 1e9)) for s in (0, 1.49, 1.6, 2.2)] == [
        10**6, 10**6, 0, 250_000,
    ]  # fmt: skip
    assert trace.delay_at(2_100 * MS) == 80 * MS
    assert trace.period_ns == 2_500 * MS


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "header"),
        (["a,b,c"], "header"),
        (["seconds,kbit/s,ms"], "rows"),
        (["seconds,kbit/s,ms", "1,2,3"], "second 0"),
        (["seconds,kbit/s,ms", "0,2"], "x:2"),
        (["seconds,kbit/s,ms", "0,nan,3"], "x:2"),
        (["seconds,kbit/s,ms", "0,inf,3"], "x:2"),
        (["seconds,kbit/s,ms", "0,0,3"], "not all 0"),
        (["seconds,kbit/s,ms", "0,-1,3"], "rates"),
        (["seconds,kbit/s,ms", "0,1,3", "0,1,3"], "ascend"),
        (["seconds,kbit/s,ms", "0,1,3e9"], "delays"),
    ],
)
def test_a_csv_that_is_no_trace_is_refused_by_its_line(lines, says):
    with pytest.raises(ConfigError, match=says):
        parse_csv(lines, "x")


@pytest.mark.parametrize("lines", [[], ["x"], ["3", "2"], ["-1"], ["1.5"]])
def test_what_is_not_packet_times_is_refused(lines):
    with pytest.raises(ConfigError, match="expected"):
        parse_mahimahi(lines, "x")


@given(text=st.text("0123456789.,-e \n", max_size=30))
def test_any_text_is_a_trace_or_is_refused(text):
    for parse in (parse_csv, parse_mahimahi):
        try:
            trace = parse(["seconds,kbit/s,ms", *text.splitlines()], "x")
        except ConfigError:
            continue
        assert trace.period_ns > 0


def test_a_link_is_named_by_rate_profile_or_file(tmp_path):
    (tmp_path / "mine.csv").write_text("seconds,kbit/s,ms\n0,64,10\n")
    (tmp_path / "up").write_text("1\n2\n")
    assert open_link("2mbit,20ms").up == LinkSpec.parse("2mbit,20ms")
    assert open_link("lte:5", 5).up.peak_bits != open_link("lte:6", 5).up.peak_bits
    assert open_link(str(tmp_path / "mine.csv")).down.rate_at(0) == 64_000
    both = open_link(f"{tmp_path / 'up'}:{tmp_path / 'mine.csv'}")
    assert (both.up.peak_bits, both.down.peak_bits) == (12e6, 64e3)
    assert read_trace(tmp_path / "up", 7).delay_at(0) == 7 * MS
    for nonsense in ("lte:x", "nosuch", "nosuch.toml"):
        with pytest.raises(ConfigError):
            open_link(nonsense)
    (tmp_path / "mine.toml").write_text("about = 'x'\nspeed = 3\n")
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        open_link(str(tmp_path / "mine.toml"))
