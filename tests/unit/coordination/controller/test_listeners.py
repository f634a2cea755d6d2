"""Over which listener the controller and brokers reach each other."""

from __future__ import annotations

from fastlog.coordination.cluster_view import BrokerInfo, ClusterView
from fastlog.coordination.controller.data import Endpoint, LiveBroker
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.member.controller_asked import place_of_controller
from fastlog.replication.controller_link import ControllerPlace

PLAIN, CONTROL = Endpoint("PLAINTEXT", "h", 1, 0), Endpoint("CONTROL", "h", 2, 0)


def test_its_own_is_the_first_and_a_broker_without_it_is_reached_at_the_other() -> None:
    alone, both = ControllerSettings(), ControllerSettings(control_listener="CONTROL")
    brokers = [LiveBroker(1, 1, (PLAIN, CONTROL)), LiveBroker(2, 2, (PLAIN,)), LiveBroker(3, 3, (CONTROL,))]
    assert [broker.endpoint(*alone.listeners) for broker in brokers] == [PLAIN, PLAIN, None]
    assert [broker.endpoint(*both.listeners) for broker in brokers] == [CONTROL, PLAIN, CONTROL]


def test_brokers_reach_the_controller_in_the_same_way() -> None:
    view = ClusterView()
    view.set_brokers(
        (
            BrokerInfo(1, None, {"PLAINTEXT": ("h", 1), "CONTROL": ("h", 2)}),
            BrokerInfo(2, None, {"PLAINTEXT": ("h", 3)}),
        )
    )
    assert place_of_controller(view, "CONTROL", "PLAINTEXT") is None
    view.set_controller(1)
    assert place_of_controller(view, "CONTROL", "PLAINTEXT") == ControllerPlace(1, "h", 2, "CONTROL")
    assert place_of_controller(view, "PLAINTEXT") == ControllerPlace(1, "h", 1, "PLAINTEXT")
    view.set_controller(2)
    assert place_of_controller(view, "CONTROL", "PLAINTEXT") == ControllerPlace(2, "h", 3, "PLAINTEXT")
    assert place_of_controller(view, "CONTROL") is None
