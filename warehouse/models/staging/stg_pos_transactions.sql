{{ latest_of(ref('hist_pos_transactions')) }}
