"""The cases of the threat model, each with the tests that prove it.

T terminal, A approval, P protocol, S storage, C configuration, O sign-in and HTTP. A case is an example
of a class; the tests named try the class. `NOTES` says where the design decides otherwise.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TESTS: dict[str, tuple[str, ...]] = {
    # --- terminal and display
    "T1": (
        "security/test_pty_bytes.py::test_hostile_servers_reach_no_terminal",
        "security/test_fuzz.py::test_no_widget_lets_a_hostile_string_through",
        "unit/test_security_text.py::test_hidden_is_nought_exactly_where_safe_changes_nothing_but_space",
    ),
    "T2": (
        "security/test_pty_bytes.py::test_the_app_itself_writes_no_clipboard_no_link_and_no_device_string",
        "security/test_pty_bytes.py::test_hostile_servers_reach_no_terminal",
        "face/test_markdown_lines.py::test_a_link_shows_where_it_leads",
    ),
    "T3": (
        "security/test_pty_bytes.py::test_hostile_servers_reach_no_terminal",
        "unit/test_security_text.py::test_safe_text_holds_only_what_shows_within_the_limit_and_stays_the_same",
    ),
    "T4": (
        "security/test_pty_bytes.py::test_hostile_names_and_commands_in_config_files",
        "security/test_fuzz.py::test_no_widget_lets_a_hostile_string_through",
    ),
    "T5": (
        "face/test_hostile_text.py::test_what_differs_is_shown_both_ways",
        "face/test_card_shows_all.py::test_what_does_not_show_is_marked_wherever_it_stands_on_a_card",
    ),
    "T6": (
        "engine/test_trust.py::test_t6_an_imitation_is_not_offered_to_the_model_until_it_is_accepted",
        "unit/test_identifiers.py::test_no_two_names_look_the_same",
        "face/test_card_shows_all.py::test_letters_that_pass_for_others_are_marked_in_names",
    ),
    "T7": (
        "engine/test_trust.py::test_t7_hidden_instructions_are_counted_stripped_for_the_model_and_pinned_raw",
        "unit/test_security_text.py::test_tag_characters_are_shown_counted_and_dropped_for_the_model",
        "unit/test_visible_schema.py::test_no_text_of_a_schema_hides_anything",
        "unit/test_pins.py::test_whatever_a_server_says_of_a_tool_is_noticed_when_it_changes",
    ),
    "T8": (
        "face/test_hostile_text.py::test_no_place_lets_it_through",
        "face/test_hostile_text.py::test_screens_and_toasts_let_nothing_through",
        "face/test_hostile_text.py::test_a_markup_action_in_a_name_is_no_action",
        "unit/test_output_source.py::test_no_widget_reads_markup_in_a_text_from_outside",
    ),
    "T9": (
        "face/test_markdown_lines.py::test_a_link_shows_where_it_leads",
        "face/test_markdown_lines.py::test_html_and_images_are_shown_as_what_they_are",
        "face/test_markdown_lines.py::test_markup_stays_text",
    ),
    "T10": (
        "face/test_bounded_work.py::test_no_step_of_the_loop_does_much",
        "face/test_tool_screen.py::test_five_megabytes_are_read_whole_and_a_frame_stays_short",
        "face/test_large_cards.py::test_a_large_card_is_laid_out_in_a_thread_and_armed_only_once_it_is_painted",
        "face/test_markdown_lines.py::test_hostile_markdown_is_done_in_time",
        "unit/test_differences.py::test_texts_of_lines_that_are_all_alike_are_compared_in_small_pieces_only",
        "security/test_bounded_results.py::test_a_monstrous_result_reaches_the_face_in_small_pieces",
    ),
    "T11": (
        "face/test_hostile_text.py::test_a_payload_pushed_off_the_screen_is_found",
        "face/test_approvals_keys.py::test_what_does_not_fit_is_opened_first_and_counts_at_its_end_only",
        "face/test_card_shows_all.py::test_every_leaf_is_in_the_cells_or_counted_as_not_shown",
    ),
    "T12": (
        "security/test_fuzz.py::test_no_sink_lets_a_hostile_string_through",
        "unit/test_results.py::test_half_surrogates_survive_storage",
        "unit/test_context.py::test_half_a_character_in_a_result_can_be_sent_all_the_same",
        "unit/test_schema.py::test_half_a_character_in_a_schema_weakens_that_one_check_only",
    ),
    "T13": (
        "security/test_pty_bytes.py::test_hostile_servers_reach_no_terminal",
        "engine/test_servers_failures.py::test_names_that_attack_the_terminal_stay_exact_and_are_never_shown_raw",
        "unit/test_last_words.py::test_what_is_told_is_bounded_and_safe",
    ),
    "T14": (
        "security/test_outgoing_filter.py::test_without_the_filter_the_same_widget_would_do_harm",
        "face/test_hostile_text.py::test_without_the_second_ring_the_guard_of_this_test_would_bite",
        "security/test_fuzz.py::test_without_the_filter_harm_would_be_found",
    ),
    # --- approvals and the agent's loop
    "A1": (
        "security/test_typing_is_safe.py::test_an_approval_that_arrives_between_two_keys_is_left_alone",
    ),
    "A2": ("face/test_approvals_keys.py::test_a_held_key_approves_at_most_one_of_five",),
    "A3": (
        "face/test_approvals_keys.py::test_too_early_does_not_count_and_later_does",
        "face/test_approvals_keys.py::test_whatever_happens_starts_the_quiet_time_again",
        "face/test_approvals_keys.py::test_no_key_counts_from_the_moment_of_a_resize_on",
    ),
    "A4": ("security/test_typing_is_safe.py::test_what_comes_in_one_go_decides_nothing",),
    "A5": (
        "engine/test_gate.py::test_of_many_verdicts_at_once_one_counts",
        "engine/test_clients_meanwhile.py::test_of_two_that_approve_at_once_one_counts",
        "unit/test_calls.py::test_the_second_of_two_deciders_is_told",
        "proof/test_samples.py::test_of_two_deciders_one_decides_and_one_call_is_sent",
    ),
    "A6": (
        "engine/test_gate.py::test_the_verdicts_on_three_calls_at_once_are_independent",
        "engine/test_react.py::test_parallel_calls_run_together_and_results_follow_the_order_of_the_calls",
    ),
    "A7": (
        "engine/test_rules.py::test_a_rule_from_a_card_passes_the_next_call_and_releases_none",
        "face/test_rule_composer.py::test_a_rule_under_which_the_call_still_waits_says_so",
    ),
    "A8": (
        "unit/test_policy_rules.py::test_of_5000_rules_few_are_looked_at_and_none_is_lost",
        "unit/test_policy_rules.py::test_of_5000_rules_for_one_tool_few_are_tried",
        "unit/test_config_load.py::test_5000_rules_are_read",
    ),
    "A9": (
        "engine/test_gate.py::test_edited_arguments_that_break_the_schema_are_not_taken",
        "engine/test_rules.py::test_an_edit_that_a_rule_denies_is_refused",
        "face/test_approvals_keys.py::test_an_edit_is_checked_and_needs_its_own_approval",
    ),
    "A10": (
        "engine/test_orchestrator_crash.py::test_calls_that_waited_for_approval_wait_again_in_their_lanes",
        "engine/test_orchestrator.py::test_rejected_calls_are_told_to_the_agent_that_made_them",
        "face/test_plan_tree.py::test_a_row_of_the_queue_names_the_task_of_its_agent",
    ),
    "A11": ("engine/test_expiry.py::test_at_one_instant_one_outcome_counts_and_the_time_never_approves",),
    "A12": (
        "engine/test_cli_demo.py::test_run_asks_nobody_and_sends_nothing",
        "engine/test_rules.py::test_the_rule_that_a_headless_run_asks_for_lets_just_that_call_pass",
    ),
    "A13": (
        "unit/test_config_load.py::test_a_project_file_never_loosens",
        "unit/test_config_load.py::test_an_allow_rule_of_a_project_counts_only_as_it_was_adopted",
        "engine/test_rules.py::test_a_project_s_allow_rule_counts_once_it_is_adopted",
    ),
    "A14": (
        "unit/test_arguments.py::test_what_two_parsers_could_read_differently_is_refused",
        "unit/test_arguments.py::test_a_prototype_is_an_ordinary_key",
    ),
    "A15": ("engine/test_react.py::test_malformed_arguments_get_the_schema_and_are_never_repaired",),
    "A16": (
        "security/test_agentdojo.py::test_in_a_chat_nothing_runs_that_was_not_approved",
        "wire/test_formats.py::test_an_injection_stays_data_and_what_it_asks_for_is_not_done",
        "unit/test_context.py::test_a_server_cannot_close_the_frame_or_speak_as_the_host",
    ),
    "A17": (
        "engine/test_rules.py::test_data_from_an_untrusted_server_is_asked_about",
        "engine/test_outside.py::test_results_of_the_same_answer_do_not_count_however_fast_they_come",
        "unit/test_outside_data.py::test_a_copy_is_found_in_another_layout_or_encoding",
    ),
    "A18": (
        "engine/test_told_model.py::test_a_call_that_was_rejected_twice_is_not_asked_about_a_third_time",
    ),
    "A19": (
        "engine/test_react.py::test_the_step_limit_says_what_to_do",
        "engine/test_autonomous.py::test_requests_have_a_limit_that_is_said",
        "engine/test_repeats.py::test_of_many_equal_calls_in_one_answer_three_go_out_and_the_reason_says_so",
    ),
    "A20": (
        "engine/test_react.py::test_unknown_tool_gets_the_nearest_names_and_is_never_called",
        "engine/test_rules.py::test_a_denied_tool_does_not_exist_for_the_model",
        "engine/test_orchestrator.py::test_a_tool_that_was_not_allotted_is_refused_in_words",
    ),
    "A21": (
        "face/test_approvals_keys.py::test_marked_calls_are_approved_by_their_number_and_a_shifted_key",
    ),
    "A22": (
        "unit/test_policy.py::test_a22_a_claim_of_an_untrusted_server_never_lowers_the_risk",
        "engine/test_server_claims.py::test_a22_only_a_trusted_servers_claim_lets_a_rule_allow",
    ),
    # --- protocol
    "P1": (
        "engine/test_confirmations.py::test_a_yes_to_what_changed_meanwhile_is_asked_again",
        "engine/test_confirmations.py::test_a_yes_to_a_call_of_a_changed_tool_does_not_accept_the_change",
        "engine/test_confirmations.py::test_a_card_is_bound_to_what_the_server_says_about_its_use",
        "engine/test_trust.py::test_p1_a_changed_definition_is_held_and_shown_as_it_was_and_as_it_is",
        "face/test_change_screen.py::test_p1_the_card_of_a_held_call_leads_to_what_has_changed",
        "engine/test_sessions_resume.py::test_a_changed_server_is_held_even_in_auto",
        "security/test_agentdojo.py::test_nothing_of_a_server_that_has_changed_runs_in_auto",
        "unit/test_pins.py::test_whatever_a_server_says_of_a_tool_is_noticed_when_it_changes",
    ),
    "P2": ("engine/test_trust.py::test_p2_the_order_of_tools_and_keys_is_no_change",),
    "P3": (
        "engine/test_trust.py::test_p3_tools_of_the_same_and_of_confusable_names_are_said_and_routed_exactly",
    ),
    "P4": ("engine/test_servers_states.py::test_change_of_the_list_is_followed_once_for_a_burst",),
    "P5": (
        "engine/test_offers.py::test_endless_pages_end",
        "engine/test_listing.py::test_a_cursor_that_does_not_advance_ends_the_listing_with_a_note",
    ),
    "P6": (
        "engine/test_calls_cut.py::test_a_server_that_dies_in_a_call_leaves_its_outcome_unknown",
        "engine/test_servers_http.py::test_answer_cut_in_the_middle_leaves_the_outcome_open",
        "engine/test_servers_sse.py::test_end_of_the_stream_in_a_call_leaves_its_outcome_open_and_is_mended",
        "engine/test_routes.py::test_a_call_that_may_have_run_goes_nowhere_else",
    ),
    "P7": (
        "unit/test_schema.py::test_a_reference_outside_the_document_is_not_followed",
        "unit/test_schema.py::test_a_reference_inside_is_followed_even_if_it_recurses",
        "unit/test_schema.py::test_a_schema_that_is_too_large_is_said_to_be",
        "unit/test_context.py::test_a_schema_bomb_stays_small",
    ),
    "P8": (
        "unit/test_schema.py::test_a_catastrophic_pattern_is_linear",
        "unit/test_schema.py::test_what_cannot_be_checked_is_named_and_the_rest_is_checked",
        "face/test_tool_screen.py::test_what_is_not_checked_is_said_above_the_form_and_named_below",
    ),
    "P9": ("engine/test_calls_cut.py::test_a_tool_that_breaks_its_own_schema_ran_and_is_not_run_again",),
    "P10": (
        "engine/test_servers_failures.py::test_line_over_the_limit_ends_the_connection",
        "engine/test_servers_sse.py::test_event_of_seventy_megabytes_ends_the_connection_and_holds_nobody_up",
        "unit/test_http_bodies.py::test_an_answer_has_a_bound_however_it_is_packed",
        "unit/test_http_bodies.py::test_depth_is_bounded_too",
    ),
    "P11": (
        "unit/test_asks.py::test_fields_that_ask_for_a_secret",
        "unit/test_asks.py::test_pages_that_cannot_be_visited",
        "unit/test_asks.py::test_pages_with_a_warning",
        "engine/test_asks.py::test_a_secret_can_neither_be_asked_for_nor_given",
        "engine/test_asks.py::test_a_page_is_shown_whole_and_nothing_is_fetched",
    ),
    "P12": (
        "engine/test_asks.py::test_a_sampling_request_is_shown_edited_answered_reviewed_and_sent",
        "engine/test_asks.py::test_nobody_is_asked_where_nobody_is",
        "engine/test_asks.py::test_sampling_that_is_switched_off_is_not_offered",
    ),
    "P13": (
        "engine/test_servers_failures.py::test_server_is_started_again_three_times_then_only_by_hand",
        "engine/test_servers_health.py::test_program_that_keeps_dying_opens_the_breaker_for_good",
    ),
    "P14": (
        "unit/test_asks.py::test_silence_and_the_whole_time_both_end_it",
        "engine/test_servers_calls.py::test_progress_extends_the_time_out_and_is_reported_safely",
        "wire/test_tasks.py::test_a_task_that_never_ends_is_cancelled_when_its_time_is_up",
    ),
    # --- storage
    "S1": (
        "chaos/test_journal_kill.py::test_killed_at_a_certain_point",
        "chaos/test_journal_kill.py::test_whatever_was_acknowledged_survives_being_killed_again_and_again",
        "unit/test_calls.py::test_a_crash_leaves_every_call_where_nothing_runs_twice",
        "proof/test_samples.py::test_a_call_goes_through_its_states_whatever_comes_in_between",
    ),
    "S2": (
        "chaos/test_engine_kill.py::test_invariant_2_a_call_cut_by_a_kill_is_uncertain_and_never_sent_again",
        "proof/test_samples.py::test_each_call_that_arrives_has_its_own_grant",
    ),
    "S3": (
        "unit/test_calls.py::test_a_crash_leaves_every_call_where_nothing_runs_twice",
        "unit/test_calls.py::test_leaving_approved_takes_the_nonce_away",
        "chaos/test_engine_kill.py::test_a_pending_approval_survives_a_kill",
    ),
    "S4": (
        "engine/test_full_disk.py::test_a_disk_that_fills_in_the_middle_of_a_turn_is_said_at_once",
        "engine/test_full_disk.py::test_a_run_on_a_full_disk_ends_in_words_and_keeps_what_it_acknowledged",
        "unit/test_journal.py::test_a_file_on_a_read_only_place_is_refused_in_words",
    ),
    "S5": (
        "unit/test_journal.py::test_a_session_is_open_once",
        "engine/test_session_switch.py::test_a_session_that_another_holds_is_refused_and_nothing_is_lost",
    ),
    "S6": (
        "security/test_private_state.py::test_what_others_could_read_is_repaired_or_refused",
        "unit/test_crypto.py::test_a_state_folder_that_is_a_link_is_refused",
        "unit/test_crypto.py::test_a_folder_of_somebody_else_is_refused",
        "unit/test_journal.py::test_a_database_file_that_is_a_link_is_refused",
    ),
    "S7": (
        "security/test_key_stores.py::test_a_secret_service_keeps_the_key",
        "security/test_key_stores.py::test_a_locked_secret_service_is_said_and_nothing_is_saved_with_another_key",
        "security/test_key_stores.py::test_a_passphrase_keeps_the_key_and_a_wrong_one_is_refused",
        "unit/test_crypto.py::test_keyrings_that_keep_nothing_or_keep_it_open_are_not_used",
    ),
    "S8": (
        "security/test_secrets_at_rest.py::test_no_file_of_ours_holds_a_canary",
        "wire/test_oauth.py::test_nothing_secret_is_told_or_stands_in_a_file",
        "security/test_key_stores.py::test_a_secret_of_the_service_reaches_the_one_server_that_names_it",
    ),
    "S9": (
        "unit/test_audit_table.py::test_the_first_changed_entry_is_named",
        "unit/test_audit_check.py::test_a_changed_line_is_named",
        "unit/test_audit_check.py::test_a_removed_line_is_named",
        "unit/test_audit_check.py::test_an_older_seal_does_not_go_with_a_shorter_audit",
        "unit/test_installation_audit.py::test_what_is_cut_off_at_any_byte_is_named_exactly",
        "unit/test_installation_audit.py::test_no_byte_of_the_file_or_of_its_seal_can_be_changed",
        "unit/test_installation_audit.py::test_killed_anywhere_it_is_no_change_and_the_next_entry_follows",
        "engine/test_cli_demo.py::test_the_audit_says_what_was_decided_and_whether_it_was_changed",
    ),
    "S10": (
        "unit/test_journal.py::test_every_commit_is_flushed_before_it_returns",
        "unit/test_damage.py::test_a_log_that_ends_in_the_middle_of_a_frame_loses_only_what_was_not_written",
    ),
    # --- configuration
    "C1": (
        "engine/test_invariants.py::test_invariant_11_a_projects_server_starts_only_when_the_person_says_so",
        "security/test_project_folder.py::test_nothing_of_the_folder_is_run",
        "face/test_consent.py::test_no_key_of_habit_allows_a_server",
    ),
    "C2": (
        "engine/test_trust.py::test_c2_a_changed_launch_is_held_and_shown_without_secret_values",
        "unit/test_trust.py::test_a_new_fingerprint_ends_the_consent_to_start",
        "unit/test_launch.py::test_the_fingerprint_follows_the_program_that_really_runs",
        "face/test_consent.py::test_what_changed_since_it_was_shown_is_refused_in_words",
        "engine/test_confirmations.py::test_a_program_that_is_exchanged_at_the_last_moment_is_not_allowed",
    ),
    "C3": (
        "unit/test_launch.py::test_what_is_odd_is_said",
        "unit/test_launch_warnings.py::test_c3_a_download_that_is_run_at_once_is_said",
    ),
    "C4": (
        "unit/test_launch_warnings.py::test_c4_a_long_run_of_blanks_is_said",
        "face/test_consent.py::test_everything_that_decides_what_runs_is_there_to_be_read",
        "face/test_consent.py::test_the_safeguards_of_an_approval_hold",
    ),
    "C5": (
        "engine/test_servers_states.py::test_environment_of_a_server_is_the_allowed_list_and_its_own",
        "unit/test_config_inherit.py::test_a_server_gets_what_it_needs_and_nothing_else",
        "unit/test_config_inherit.py::test_keys_are_not_inherited",
    ),
    "C6": (
        "unit/test_config_references.py::test_everything_else_stays_as_it_is",
        "unit/test_config_secrets.py::test_no_other_form_is_one",
        "unit/test_config_secrets.py::test_nothing_is_expanded_anywhere_else",
    ),
    "C7": (
        "unit/test_config_load.py::test_a_bad_rule_is_told_with_its_line_and_no_allow_rule_counts",
        "unit/test_policy_rules.py::test_what_is_refused",
        "engine/test_invariants.py::test_invariant_8_an_unknown_key_is_named_with_its_line_and_everything_asks",
    ),
    "C8": (
        "unit/test_host_entries.py::test_approvals_of_another_host_are_never_taken_over",
        "face/test_manage.py::test_a_server_nobody_allowed_is_not_started_by_saving_its_form",
    ),
    "C9": (
        "security/test_case_table.py::test_nothing_is_loaded_that_could_decide_for_the_person",
        "unit/test_plugin_check.py::test_one_that_imports_the_gate_fails_its_check",
        "engine/test_plugins.py::test_tools_of_a_plugin_go_through_the_gate",
        "engine/test_plugins.py::test_without_a_person_none_is_switched_on",
    ),
    # --- sign-in and HTTP
    "O1": (
        "wire/test_oauth_hostile.py::test_directions_to_where_nobody_wanted_to_go",
        "unit/test_sign_in.py::test_what_is_not_on_the_open_internet",
        "unit/test_sign_in.py::test_a_name_that_leads_into_a_private_network_gets_nothing",
    ),
    "O2": (
        "wire/test_oauth_hostile.py::test_redirects_to_another_origin_are_not_followed",
        "wire/test_oauth_hostile.py::test_a_redirect_without_end_is_left",
    ),
    "O3": (
        "wire/test_oauth_hostile.py::test_a_page_that_must_not_be_opened_is_not_shown",
        "unit/test_sign_in.py::test_what_is_never_shown_or_opened",
    ),
    "O4": ("wire/test_oauth_hostile.py::test_a_server_without_s256_is_refused",),
    "O5": (
        "wire/test_oauth.py::test_an_answer_of_another_issuer_is_not_redeemed",
        "wire/test_oauth_hostile.py::test_metadata_of_another_issuer_is_refused",
    ),
    "O6": (
        "wire/test_oauth_hostile.py::test_redirects_to_another_origin_are_not_followed",
        "wire/test_oauth_hostile.py::test_a_token_goes_to_the_servers_own_origin_only",
        "engine/test_servers_http.py::test_redirect_to_another_origin_is_not_followed",
    ),
    "O7": (
        "wire/test_oauth_hostile.py::test_a_given_client_is_not_led_to_another_authorisation_server",
        "unit/test_sign_in.py::test_credentials_are_kept_by_server_and_issuer",
    ),
    "O8": (
        "wire/test_oauth_hostile.py::test_answers_are_bounded",
        "unit/test_sign_in.py::test_a_server_that_never_answers_costs_its_time_only",
    ),
    "O9": (
        "wire/test_oauth_hostile.py::test_what_a_refusal_says_is_not_repeated",
        "wire/test_oauth.py::test_nothing_secret_is_told_or_stands_in_a_file",
        "engine/test_servers_reasons.py::test_a_refusal_that_repeats_our_token_does_not_show_it",
    ),
    "O10": ("wire/test_oauth.py::test_a_revoked_sign_in_ends_in_one_question",),
}

NOTES = {
    "T6": "letters that pass for others are marked in every name, and no two names for a model are alike",
    "T10": "work is counted: no step of the face's loop does much, and a frame carries 256 KiB at most",
    "A2": "a call of its own key press each; a held key is told from a press by its repetition",
    "A3": "armed 400 ms after it was painted unchanged",
    "A7": "the rule counts for later calls; a waiting one is offered, never released by itself",
    "A10": "agents of a plan are one level deep; there is one queue for all of them",
    "A12": "the exit status is 3, and what would ask is withheld",
    "A13": "there is no mode that allows everything",
    "A14": "`__proto__` is an ordinary key, sent as it is",
    "A15": "nothing repairs arguments: the model is told what is wrong",
    "A17": "a rule with `outside` asks where arguments hold data of an untrusted server; no labels",
    "A21": "a batch is confirmed by the number of its calls and the approving key",
    "P11": "a secret can neither be asked for nor given in a form",
    "P12": "sampling waits in the queue, is budgeted, and its answer is shown once more before it is sent",
    "S7": "without keyring and passphrase the key is a file of mode 0600, and that is said",
    "S10": "every commit is flushed before it is acknowledged; of a log that was cut, whole frames count",
    "C8": "there is no link that adds a server; what was imported waits to be allowed",
    "C9": "a plugin runs with the rights of the app; tested is that no interface leads it to the gate",
    "O2": "no redirect to another origin is followed, whatever it is",
}

ALL = [
    *(f"T{number}" for number in range(1, 15)), *(f"A{number}" for number in range(1, 23)),
    *(f"P{number}" for number in range(1, 15)), *(f"S{number}" for number in range(1, 11)),
    *(f"C{number}" for number in range(1, 10)), *(f"O{number}" for number in range(1, 11)),
]  # fmt: skip


@cache
def _tests_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


@pytest.mark.parametrize("case", TESTS)
def test_the_named_tests_exist(case: str) -> None:
    for node in TESTS[case]:
        file, _, name = node.partition("::")
        assert (ROOT / file).is_file(), f"{case}: there is no {file}"
        assert name in _tests_of(file), f"{case}: {file} has no {name}"


def test_every_case_has_its_tests() -> None:
    assert [case for case in ALL if case not in TESTS] == []
    assert set(TESTS) | set(NOTES) <= set(ALL)


def test_nothing_is_loaded_that_could_decide_for_the_person() -> None:
    """Only the handler of an attended client's command decides; what loads plugins is no part of that.

    That no plugin reaches the gate is an import rule, and a part of each plugin's check.
    """
    package = ROOT.parent / "omni_tui"
    loading, deciding = set(), set()
    for file in package.rglob("*.py"):
        place, text = file.relative_to(package).as_posix(), file.read_text()
        if re.search(r"entry_points|pluggy|iter_modules", text):
            loading.add(place)
        if re.search(r"\b(gate|plans)\.decide\(", text):
            deciding.add(place)
    assert loading == {"plugins/api.py", "plugins/discovery.py", "plugins/hook_calls.py"}
    assert deciding == {"engine/handlers/approvals.py"}
