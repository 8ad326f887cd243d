%% A gen_server that echoes, and clients that call it; told what to do by lines of text.
%% Times are in nanoseconds; a client's samples are a line: when it began, when it ended, how long
%% each call took.
-module(echo_peer).
-behaviour(gen_server).
-export([main/1, begin_server/0, init/1, handle_call/3, handle_cast/2]).

-define(TIMEOUT, 120000).

main(["wait"]) ->
    io:get_line(""),
    halt();
main(["local"]) ->
    {ok, Server} = begin_server(),
    serve(Server, [], none);
main([Node]) ->
    {ok, Server} = erpc:call(connected(list_to_atom(Node), 200), ?MODULE, begin_server, []),
    serve(Server, [], none).

connected(Node, Tries) when Tries > 0 ->
    case net_kernel:connect_node(Node) of
        true -> Node;
        _ -> timer:sleep(50), connected(Node, Tries - 1)
    end.

begin_server() -> gen_server:start(?MODULE, server, []).

%% The server, and the supervisor of another one.

init(server) -> {ok, 0};
init(supervisor) ->
    Start = {gen_server, start_link, [{local, supervised}, ?MODULE, server, []]},
    {ok, {#{intensity => 1000000, period => 1}, [#{id => supervised, start => Start}]}}.

handle_call(taken, _From, Taken) -> {reply, Taken, 0};
handle_call(Payload, _From, Taken) -> {reply, Payload, Taken}.

handle_cast(_Payload, Taken) -> {noreply, Taken + 1}.

%% What is asked for.

serve(Server, Clients, Tree) ->
    case io:get_line("") of
        eof -> halt();
        Line ->
            [Order | Texts] = string:lexemes(string:trim(Line), " "),
            Numbers = [list_to_integer(Text) || Text <- Texts],
            {Grown, Found} = do(Order, Numbers, Server, Clients, Tree),
            io:format("~n", []),
            serve(Server, Grown, Found)
    end.

do("open", [Count], Server, [], Tree) ->
    Own = self(),
    {[spawn_link(fun() -> client(Own, Server, <<>>) end) || _ <- lists:seq(1, Count)], Tree};
do("prepare", [Size, Count, WarmUps], _, Clients, Tree) ->
    all(lists:sublist(Clients, Count), {prepare, Size, WarmUps}),
    {Clients, Tree};
do("echo", [Count, Calls, Milliseconds], _, Clients, Tree) ->
    Answers = all(lists:sublist(Clients, Count), {echo, Calls, Milliseconds}),
    io:format("~ts", [lists:join(";", [spaced(Answer) || Answer <- Answers])]),
    {Clients, Tree};
do("cast", [Size, Count, Milliseconds], Server, Clients, Tree) ->
    Payload = rand:bytes(Size),
    Begin = now_ns(),
    Sent = casts(Server, Payload, Count, Begin + Milliseconds * 1000000, 0),
    Sent = gen_server:call(Server, taken, ?TIMEOUT),
    io:format("~p", [trunc(Sent / ((now_ns() - Begin) / 1.0e9))]),
    {Clients, Tree};
do("start", [], _, Clients, Tree) ->
    Begin = now_ns(),
    {ok, Started} = begin_server(),
    up = gen_server:call(Started, up),
    io:format("~p", [now_ns() - Begin]),
    gen_server:stop(Started),
    {Clients, Tree};
do("restart", [], Server, Clients, none) ->
    {ok, Tree} = supervisor:start_link(?MODULE, supervisor),
    do("restart", [], Server, Clients, Tree);
do("restart", [], _, Clients, Tree) ->
    Before = whereis(supervised),
    Begin = now_ns(),
    exit(Before, kill),
    until_back(Before),
    io:format("~p", [now_ns() - Begin]),
    {Clients, Tree}.

until_back(Before) ->
    case whereis(supervised) of
        Pid when is_pid(Pid), Pid =/= Before -> up = gen_server:call(Pid, up);
        _ -> erlang:yield(), until_back(Before)
    end.

casts(_, _, 0, _, Sent) -> Sent;
casts(Server, Payload, Left, Last, Sent) ->
    gen_server:cast(Server, Payload),
    case now_ns() > Last of
        true -> Sent + 1;
        false -> casts(Server, Payload, Left - 1, Last, Sent + 1)
    end.

%% The clients.

all(Clients, Order) ->
    [Client ! Order || Client <- Clients],
    [receive {Client, Answer} -> Answer end || Client <- Clients].

client(Own, Server, Payload) ->
    receive
        {prepare, Size, WarmUps} ->
            Another = rand:bytes(Size),
            pings(Server, Another, WarmUps, now_ns() + 1000000000, []),
            Own ! {self(), ok},
            client(Own, Server, Another);
        {echo, Calls, Milliseconds} ->
            Begin = now_ns(),
            Taken = pings(Server, Payload, Calls, Begin + Milliseconds * 1000000, []),
            Own ! {self(), [Begin, now_ns() | Taken]},
            client(Own, Server, Payload)
    end.

pings(_, _, 0, _, Taken) -> Taken;
pings(Server, Payload, Left, Last, Taken) ->
    Before = now_ns(),
    Reply = gen_server:call(Server, Payload, ?TIMEOUT),
    After = now_ns(),
    true = byte_size(Reply) =:= byte_size(Payload),
    case After > Last of
        true -> [After - Before | Taken];
        false -> pings(Server, Payload, Left - 1, Last, [After - Before | Taken])
    end.

spaced(Numbers) -> lists:join(" ", [integer_to_list(Number) || Number <- Numbers]).

now_ns() -> erlang:monotonic_time(nanosecond).
